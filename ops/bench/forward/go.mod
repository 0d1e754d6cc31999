module forward

go 1.24
