"""What both ends of a sandbox's byte stream speak: frames, and messages in chunks."""
