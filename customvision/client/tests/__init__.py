"""A stand-in for Azure Custom Vision, written from its OpenAPI files, for tests only.

`stand_in.StandIn` is the server; `world` what it knows, `operations` what it answers, `faults` how
it can fail. It speaks the versions that the SDK 3.1.1 does: training 3.4-preview and prediction
3.1.
"""
