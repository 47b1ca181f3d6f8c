"""How VideoCloud Analytics is run: the command line, the embedded servers, the packaging."""
