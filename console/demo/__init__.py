"""One turn of the loop on real flights, told as it happens."""
