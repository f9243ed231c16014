"""Databases that earlier versions wrote, and what those versions answered from them."""
