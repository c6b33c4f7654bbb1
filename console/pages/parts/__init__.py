"""What pages are made of: words, the picture of the loop, distributions then and now, and the frame around them."""
