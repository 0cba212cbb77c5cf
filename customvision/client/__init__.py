"""Azure Custom Vision as its caller sees it: one client for predictor, trainer and importer.

`client` calls the operations of the official SDK, with retries and limits of its own
(`rate_limits`, `circuit_breaker`); `errors` are what it raises; `encoding` makes pictures that the
service accepts. The SDK is imported at the first call: a web process that never asks Azure does not
pay for it.
"""
