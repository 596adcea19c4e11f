"""The page without a node: recorded lives, served as the local API and the demo process would."""
