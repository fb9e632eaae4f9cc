"""Text, Markdown and HTML for people; all sanitising lives here."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
"""The viewer's built front end, `viewer.js` and `viewer.css`: `widgets/build.js` makes them."""
