"""What the commands about datasets do."""
