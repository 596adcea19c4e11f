"""The demo: a real home and two real nodes as processes, a tour that proves each route, and a page that shows it.

`program` one process · `stage` the three of them · `tour` the steps · `evidence` what others say · `page` the web server.
"""
