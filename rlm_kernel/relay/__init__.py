"""What docker and modal share: a sandbox that only a byte stream leads to."""
