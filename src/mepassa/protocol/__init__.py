"""Sans-IO machines: told the time and the dice, handed bytes; they answer with events and bytes."""
