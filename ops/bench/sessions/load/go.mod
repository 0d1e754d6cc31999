module iam-mcp.dev/bench/sessions/load

go 1.26
