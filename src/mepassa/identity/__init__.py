"""Root and device keys, signatures with context strings, device list, contact card: what a server may know of cryptography."""
