"""Exports: files made in the background from an order.

- `service` queues `orders` as `jobs`; the `runner` takes the jobs one by one
- `queries` has the SQL for the `columns` of each metric; `source` streams results, `writers` write the files
- `storage` keeps files in a folder or a `bucket`; `signed_links` allow downloads; `errors` has the errors
"""
