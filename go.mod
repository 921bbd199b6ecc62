module github.com/compactify/compactify

go 1.26
