module iam-mcp.dev/bench/operator/writes

go 1.26
