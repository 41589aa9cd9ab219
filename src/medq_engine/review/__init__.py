"""`medq review`: a local page on which people answer a round's batch."""
