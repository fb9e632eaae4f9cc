"""Text, Markdown and HTML for people; all sanitising lives here."""
