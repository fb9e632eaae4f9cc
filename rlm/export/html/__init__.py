"""A trajectory as static HTML without any script: a whole page, or a piece of a notebook."""

from rlm.render.page import fragment, page

__all__ = ["fragment", "page"]
