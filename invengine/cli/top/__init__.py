"""`invengine top`: what happens at the stock now, on one screen."""
