"""The paper's tables as its text has them."""

DISTANCES = """\
Table 5
 | Decathlon Lung | Tuberculoma dataset
LIDC 1 | 10862.16 | 11135.58
LIDC 2 | 10625.84 | 11093.3
LIDC 3 | 10229.51 | 10575.97
LIDC 4 | 9645.36 | 10306.17
LIDC 5 | 9032.89 | 9567.25
Decathlon Liver | 9623.07 | 11313.40
Decathlon Spleen | 10011.95 | 11726.35
Decathlon Prostate | 22806.89 | 25347.77
Decathlon Lung | - | 8313.04
Table 6
 | Decathlon Lung | Tuberculoma dataset
LIDC 1 | 16255.66 | 18479.12
LIDC 2 | 13915.07 | 15796.81
LIDC 3 | 12604.92 | 14005.8
LIDC 4 | 17730.14 | 18542.35
LIDC 5 | 16287.95 | 12650.73
Decathlon Liver | 30195.99 | 24488.63
Decathlon Spleen | 27386.97 | 30831.43
Decathlon Prostate | 52138.69 | 57429.57
Decathlon Lung | - | 13228.61
Table 7
 | Decathlon Lung | Tuberculoma dataset
LIDC 1 | 15280.97 | 19611.81
LIDC 2 | 14115.015 | 14563.10
LIDC 3 | 12700.28 | 14042.89
LIDC 4 | 17539.21 | 15361.22
LIDC 5 | 10149.49 | 16722.41
Decathlon Liver | 21259.89 | 23897.78
Decathlon Spleen | 29014.97 | 43578.4
Decathlon Prostate | 53590.53 | 58543.45
Decathlon Lung | - | 10595.77
Table 8
 | Decathlon Lung | Tuberculoma dataset
LIDC 1 | 13744.42 | 14843.45
LIDC 2 | 11050.95 | 14669.49
LIDC 3 | 12890.5 | 14004.84
LIDC 4 | 12071.86 | 13366.7
LIDC 5 | 11196.22 | 12192.04
Decathlon Liver | 13865.48 | 16171.34
Decathlon Spleen | 13939.62 | 16358.88
Decathlon Prostate | 27598.78 | 30899.36
Decathlon Lung | - | 10399.64
Table 9
 | Decathlon Lung | Tuberculoma dataset
LIDC 1 | 7306.69 | 7537.2
LIDC 2 | 6397.65 | 8378.30
LIDC 3 | 6752.2 | 7373.33
LIDC 4 | 6707.39 | 6612.76
LIDC 5 | 5705.16 | 6483.47
Decathlon Liver | 6791.98 | 7851.03
Decathlon Spleen | 6697.34 | 8054.38
Decathlon Prostate | 14034.80 | 15758.17
Decathlon Lung | - | 6234.96
"""

TABLE_10 = """\
Decathlon Lung | 0.6506
Tuberculoma dataset | 0.8164
"""

# Source, target, test Dice score, relative accuracy increase (%).
TABLE_11 = """\
Decathlon Lung | Tuberculoma dataset | 0.9903 | 21.3
LIDC 5 | Decathlon Lung | 0.8159 | 25.4
LIDC 5 | Tuberculoma dataset | 0.9446 | 15.7
Decathlon Liver | Decathlon Lung | 0.6350 | -2.4
LIDC 4 | Decathlon Lung | 0.7079 | 8.8
Decathlon Spleen | Decathlon Lung | 0.6096 | -6.3
LIDC 3 | Decathlon Lung | 0.7879 | 21.1
LIDC 4 | Tuberculoma dataset | 0.9397 | 15.1
LIDC 3 | Tuberculoma dataset | 0.9821 | 20.3
LIDC 2 | Decathlon Lung | 0.7814 | 20.1
LIDC 1 | Decathlon Lung | 0.7573 | 16.4
LIDC 2 | Tuberculoma dataset | 0.9789 | 19.9
LIDC 1 | Tuberculoma dataset | 0.8923 | 9.3
Decathlon Liver | Tuberculoma dataset | 0.7462 | -8.6
Decathlon Spleen | Tuberculoma dataset | 0.7372 | -9.7
Decathlon Prostate | Decathlon Lung | 0.5459 | -16.1
Decathlon Prostate | Tuberculoma dataset | 0.6466 | -20.8
"""

# Metric, p-value of the constant, of the slope.
TABLE_12 = """\
Euclidean | 0.000354 | 0.00167
GMM 2D | 1.94e-07 | 1.23e-06
GMM 3D | 7.08e-08 | 4.43e-07
Clustering | 4.27e-05 | 0.000199
Clustering + GMM 3D | 0.000291 | 0.00123
"""

# Metric, slope, 95% interval, R^2, p-value.
TABLE_13 = """\
Euclidean | -0.00129 | [-0.00201, -0.00057] | 0.57 | 0.00167
GMM 2D | -0.00084 | [-0.00112, -0.00056] | 0.83 | 1.23e-06
GMM 3D | -0.00068 | [-0.00089, -0.00047] | 0.87 | 4.43e-07
Clustering | -0.00126 | [-0.00178, -0.00074] | 0.71 | 0.000199
Clustering + GMM 3D | -0.00248 | [-0.00373, -0.00123] | 0.65 | 0.00123
"""


def cells(text):
    """Lines of a table, cut into cells."""
    return [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]


def distances():
    """(table, source, target) -> distance of Tables 5 to 9."""
    found = {}
    table, targets = 0, []
    for first, *others in cells(DISTANCES):
        if first.startswith("Table "):
            table = int(first.split()[1])
        elif not first:
            targets = others
        else:
            for target, cell in zip(targets, others, strict=True):
                if cell != "-":
                    found[table, first, target] = float(cell)
    return found
