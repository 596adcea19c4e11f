"""Pure path choice: evidence and policy in, actions out."""
