"""The node: services, local API, supervisor. `main` wires everything."""
