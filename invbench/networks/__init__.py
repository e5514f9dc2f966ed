"""Networks of sites and customers: one file per source of data, each a function that returns `Facilities`."""
