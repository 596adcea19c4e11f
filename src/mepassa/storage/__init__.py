"""The device's SQLCipher database: one thread, one function is one transaction."""
