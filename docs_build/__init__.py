"""What the documentation's pages take from the code, and the checks of the site that is built of them."""
