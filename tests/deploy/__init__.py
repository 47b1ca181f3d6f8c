"""Tests of the packaging: docker-compose.yml, the Kubernetes manifests, the image, and servers with TLS.

`compose` and `manifests` read the files; `operators` has schemas of custom resources; `certificates` makes
certificates for TLS.
"""
