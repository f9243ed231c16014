# mypy: ignore-errors
"""The peer: the same resources as an experienced team would build them with Django REST Framework, and tuned with
care.

One query each for a page, its count and its stakeholders; composite indexes for every filter measured; persistent
prepared connections; JSON alone; no middleware but the one that sets Content-Length. It keeps rows and no history, so
a write of its own does less than ours.
"""
