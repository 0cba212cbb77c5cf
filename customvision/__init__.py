"""Answers programs written for Azure Custom Vision: they change the endpoint and the keys, and
nothing else.

`docs/customvision.md` says which operations there are and what is different. A request goes through
`views` (key, form of errors) to the operation that `operations` finds for it; those are in
`projects`, `tags`, `images`, `iterations`, `serving` and `stored`, which speak to the rooms as any
page does.
"""
