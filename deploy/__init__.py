"""Running VideoCloud Analytics: the command line, the embedded servers, the packaging."""
