"""Which test sees the message of each bad input, and that nothing was lost or half written: a table, kept true."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TABLE = {
    "missing file": ["data/test_checking.py::a_bad_case_is_one_clear_problem[missing image]"],
    "empty .nii.gz": ["data/test_checking.py::a_bad_case_is_one_clear_problem[empty file]"],
    "truncated .nii.gz": [
        "data/test_checking.py::a_bad_case_is_one_clear_problem[truncated image]",
        "data/test_decathlon.py::truncated_file",
        "data/test_decathlon.py::a_damaged_byte_is_noticed",
    ],
    "DICOM series with a missing slice": [
        "data/test_dicom_series.py::a_missing_slice_is_named_by_its_neighbors",
        "data/test_checks.py::a_dicom_slice_is_missing",
        "data/test_lidc_dicom.py::a_missing_slice_is_refused",
    ],
    "DICOM series with a doubled slice": [
        "data/test_dicom_series.py::a_doubled_slice_is_named_by_its_position",
        "data/test_lidc_dicom.py::of_doubled_slices_the_lower_number_counts",
    ],
    "one file as image and mask": ["data/test_checking.py::a_mask_that_is_listed_as_its_own_image"],
    "image and mask of different shape": ["data/test_checking.py::a_bad_case_is_one_clear_problem[other shape]"],
    "image and mask of different affine": ["data/test_checking.py::a_bad_case_is_one_clear_problem[other affine]"],
    "fractional mask": [
        "data/test_checking.py::a_bad_case_is_one_clear_problem[fractional mask]",
        "data/test_dicom_seg.py::fractions_are_refused_unless_a_threshold_is_chosen",
    ],
    "non-binary mask": [
        "data/test_checking.py::a_bad_case_is_one_clear_problem[several labels]",
        "data/test_checking.py::masks_that_mean_different_things_in_different_cases",
    ],
    "wanted label absent": [
        "data/test_checking.py::a_label_that_no_case_has",
        "data/test_export_folder.py::labels_that_cannot_be_right",
    ],
    "all masks empty": ["data/test_checking.py::all_masks_empty", "data/test_export_folder.py::all_masks_empty"],
    "NaN": ["data/test_checking.py::a_bad_case_is_one_clear_problem[NaN]"],
    "infinity": ["data/test_checking.py::a_bad_case_is_one_clear_problem[infinite]"],
    "constant image": [
        "data/test_checking.py::a_bad_case_is_one_clear_problem[constant image]",
        "data/test_checks.py::an_image_of_one_intensity",
    ],
    "one-pixel segment": ["data/test_checking.py::one_pixel_on_one_slice_is_a_dataset"],
    "one-slice dataset": [
        "data/test_checking.py::one_pixel_on_one_slice_is_a_dataset",
        "data/test_odd_files.py::a_volume_of_one_slice",
    ],
    "fewer pixels than components": [
        "distance/test_dataset_distance.py::fewer_pixels_than_components_are_refused_with_the_dataset_named"
    ],
    "window upside down": [
        "data/test_manifest.py::wrong_dataset_names_file_place_and_what_was_found[window: [400, -1000]]",
        "transforms/test_intensity.py::a_window_upside_down_is_refused",
    ],
    "delta inside the range": [
        "data/test_checking.py::delta_inside_the_range_of_hounsfield_units",
        "distance/test_dataset_distance.py::delta_inside_the_range_is_refused",
    ],
    "unknown key": ["data/test_manifest.py::wrong_dataset_names_file_place_and_what_was_found[modalty]"],
    "absolute or .. path in a datalist": [
        "data/test_datalist.py::no_path_leaves_the_folder",
        "data/test_decathlon.py::no_path_leaves_the_folder",
        "data/test_nnunet.py::no_explicit_path_leaves_the_folder",
    ],
    "card that does not fit": ["test_cli_cards.py::a_card_that_was_made_otherwise_is_refused_by_what_differs"],
    "JSON that is no card": [
        "test_cli_cards.py::a_file_that_is_no_card_is_refused_and_how_cards_are_made_is_said",
        "cards/test_card_file.py::what_is_no_card_is_refused",
    ],
    "disk full": [
        "data/test_interrupted.py::an_export_that_ends_early_leaves_nothing",
        "data/test_interrupted.py::no_run_leaves_half_a_result_and_the_next_one_completes_it[disk full at each change]",
        "data/test_case_cache.py::a_run_that_ended_early_goes_on_with_what_is_there",
    ],
    "Ctrl-C": [
        "data/test_interrupted.py::an_export_that_ends_early_leaves_nothing",
        "test_cli_resources.py::an_interrupted_comparison_leaves_the_samples_and_no_process",
    ],
    "kill -9 of collect": ["data/test_case_cache.py::runs_killed_at_any_moment_end_with_the_same_bytes"],
    "kill -9 of prepare": [
        'data/test_interrupted.py::no_run_leaves_half_a_result_and_the_next_one_completes_it["killed"]'
    ],
    "kill -9 of a worker": [
        "data/test_workers.py::a_killed_worker_is_an_error",
        "data/test_export_folder.py::a_killed_worker_leaves_nothing",
    ],
    "two processes on one cache": ["data/test_case_cache.py::two_processes_on_one_cache_get_the_same"],
}


@pytest.mark.parametrize("bad_input", TABLE)
def test_the_tests_of_a_bad_input_exist(bad_input):
    for entry in TABLE[bad_input]:
        file, _, name = entry.partition("::")
        function, _, part = name.partition("[")
        text = (HERE / file).read_text(encoding="utf-8")
        tests = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
        assert f"test_{function}" in tests, entry
        assert part.removesuffix("]") in text, entry
