"""What objects of every room share: how they are copied, and that an unused call warns."""
