"""From a model frame to the cross-products that the criterion sees."""
