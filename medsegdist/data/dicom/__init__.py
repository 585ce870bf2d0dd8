"""Reading DICOM: image series, segmentation objects and structure sets, with nothing of the patient kept."""
