module iam-mcp.dev/soak/load

go 1.26
