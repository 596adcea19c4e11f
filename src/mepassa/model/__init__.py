"""The words: what every other room speaks about. Imports nothing of ours.

`ids` `keys` who and what · `content` `envelope` `signal` what travels · `device_list` `card` `prekeys` who can be
reached · `route` `status` how it went · `addresses` `home_url` what may be dialled · `secret` `errors` habits.
"""
