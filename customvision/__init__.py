"""Everything about Azure Custom Vision.

`api` answers programs written for it: they change the endpoint and the keys, and nothing else.
`exported` serves models that it exported.
`client`, `trainer`, `importer` and `predictor` ask the service itself; when it has ended, they can
be deleted with their lines in the settings.
"""
