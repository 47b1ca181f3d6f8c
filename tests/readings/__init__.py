"""Tests' own rows and sums (`rows`), stores filled with them (`stores`), and checks of headers (`pages`)."""
