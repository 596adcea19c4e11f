"""A thin face: talks to the local API and starts the programs. The demo lives in `demo/`."""
