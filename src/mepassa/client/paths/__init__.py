"""Carries out what `routing` decides: one routing machine a device of a contact, live links, attempts to meet.

`service` feeds the machines and does their actions · `peer` one device and what is on its way to it · `meeting` one
attempt with its candidates and signals · `live` the open links · `signals` sealing, opening, budgets.
"""
