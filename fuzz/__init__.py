"""Random and mutated input: `./dev fuzz NAME`."""
