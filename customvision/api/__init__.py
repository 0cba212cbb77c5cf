"""Answers programs written for Azure Custom Vision; `docs/customvision.md` says which operations
there are and what is different.

A request goes through `dispatch` (key, form of errors) to the operation that `routing` finds for
it. Those are in `projects`, `tags`, `images`, `iterations`, `exports`, `prediction_endpoints` and
`stored_predictions`, which call the domain as any page does.
"""
