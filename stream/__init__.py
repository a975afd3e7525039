"""Push to the browser; knows no business."""
