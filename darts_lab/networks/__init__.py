"""Networks are functions of (x, mixing): what a search network and the network of a genotype compute."""
