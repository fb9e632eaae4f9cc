"""What docker and modal share: a sandbox that the host reaches by a byte stream only."""
