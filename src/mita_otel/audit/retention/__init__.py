"""How long what is kept: legal holds, purges behind signed tombstones, erasure of persons."""
