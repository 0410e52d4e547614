"""The labelled images of the demo: fetched, cut and laid out as Trainyard reads them."""
