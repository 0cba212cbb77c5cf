"""The server for programs written for Azure Custom Vision, see `docs/customvision.md`.

A request goes through `dispatch` (key, form of errors) to the operation that `routing` finds for
it. Those are in `projects`, `tags`, `images`, `iterations`, `exports`, `prediction_endpoints` and
`stored_predictions`, which call the domain as any page does.
"""
