# rows.pxi: the data pass.  Part of kernels.pyx, which includes it.

cdef class Columns:
    """References to columns of X or Z: a list of (values or None, centre).

    ``None`` stands for the constant 1.  Values are (n,); contiguous float64 are
    referred to, others copied.
    """

    cdef flmm.flmm_column *ptr
    cdef readonly int size
    cdef readonly object length        # rows, or None if every column is constant
    cdef list keep

    def __cinit__(self, columns):
        cdef const double[::1] view
        self.size = len(columns)
        self.length = None
        self.keep = []
        self.ptr = <flmm.flmm_column *>calloc(max(self.size, 1), sizeof(flmm.flmm_column))
        if self.ptr == NULL:
            raise MemoryError()
        for i, (values, centre) in enumerate(columns):
            self.ptr[i].centre = centre
            if values is None:
                continue
            values = np.ascontiguousarray(values, dtype=np.float64)
            view = values
            if self.length is not None and self.length != view.shape[0]:
                raise ValueError(f"column {i} has {view.shape[0]} rows, the columns before it {self.length}")
            self.length = view.shape[0]
            self.keep.append(values)
            self.ptr[i].values = &view[0] if view.shape[0] else NULL

    def __dealloc__(self):
        free(self.ptr)


cdef check_rows(Py_ssize_t n, Columns columns, str what):
    if columns.length is not None and columns.length != n:
        raise ValueError(f"{what} has {columns.length} rows, expected {n}")


cdef const double *weights_or_null(const double[::1] w, Py_ssize_t n) except? NULL:
    if w is None:
        return NULL
    if w.shape[0] != n:
        raise ValueError(f"weights have {w.shape[0]} rows, expected {n}")
    return &w[0] if n else NULL


def crossprod_fixed(
    Columns x,                        # IN      p columns
    const double[::1] r,              # IN      (n,)
    const double[::1] w,              # IN      (n,) or None
    double[:, ::1] XyWXy,             # IN/OUT  (p+1, p+1)
):
    """Add [X r]' W [X r] to XyWXy."""
    cdef int status
    cdef Py_ssize_t n = r.shape[0]
    check_rows(n, x, "X")
    if XyWXy.shape[0] != x.size + 1 or XyWXy.shape[1] != x.size + 1:
        raise ValueError(f"XyWXy must be {x.size + 1} x {x.size + 1}")
    cdef const double *wp = weights_or_null(w, n)
    if n == 0:
        return
    with nogil:
        status = flmm.flmm_crossprod_fixed(&BLAS, n, x.size, x.ptr, &r[0], wp, &XyWXy[0, 0])
    check(status)


def crossprod_factor(
    const int32_t[::1] level,         # IN      (n,)
    Columns z,                        # IN      nc columns
    Columns x,                        # IN      p columns
    const double[::1] r,              # IN      (n,)
    const double[::1] w,              # IN      (n,) or None
    double[:, :, ::1] ZtWZ,           # IN/OUT  (nl, nc, nc)
    double[:, :, ::1] ZtWXy,          # IN/OUT  (nl, nc, p+1)
):
    """Add the blocks Z_l'WZ_l and Z_l'W[X r] of one grouping factor."""
    cdef int status
    cdef Py_ssize_t n = r.shape[0]
    cdef int nl = <int>ZtWZ.shape[0]
    check_rows(n, x, "X")
    check_rows(n, z, "Z")
    if level.shape[0] != n:
        raise ValueError(f"level codes have {level.shape[0]} rows, expected {n}")
    if (ZtWZ.shape[1] != z.size or ZtWZ.shape[2] != z.size or ZtWXy.shape[0] != nl
            or ZtWXy.shape[1] != z.size or ZtWXy.shape[2] != x.size + 1):
        raise ValueError("ZtWZ must be (nl, nc, nc) and ZtWXy (nl, nc, p+1)")
    cdef const double *wp = weights_or_null(w, n)
    if n == 0:
        return
    with nogil:
        status = flmm.flmm_crossprod_factor(n, z.size, nl, &level[0], z.ptr, x.size, x.ptr, &r[0], wp,
                                            &ZtWZ[0, 0, 0], &ZtWXy[0, 0, 0])
    check(status)


cdef class Grouping:
    """One grouping factor of `crossprod_rows`.

    Parameters
    ----------
    level : ndarray of int32 (n,)
        Level codes of the rows.
    z : Columns
        Its nc columns.
    nl : int
        Levels.
    ZtWZ : ndarray (nl, nc, nc) or None
        Added to; None leaves it out.
    ZtWXy : ndarray (nl, nc, p+1) or None
        Added to; None adds nothing to this factor, whose levels still decide which rows are added up first.
    """

    cdef flmm.flmm_grouping it
    cdef readonly Py_ssize_t n
    cdef readonly Py_ssize_t width
    cdef object keep

    def __cinit__(self, const int32_t[::1] level, Columns z, int nl, double[:, :, ::1] ZtWZ=None,
                  double[:, :, ::1] ZtWXy=None):
        self.n, self.width = level.shape[0], -1
        check_rows(self.n, z, "Z")
        self.keep = level, z, ZtWZ, ZtWXy
        self.it.nc, self.it.nl, self.it.z = z.size, nl, z.ptr
        self.it.level = &level[0] if self.n else NULL
        if ZtWXy is None:
            return
        self.width = ZtWXy.shape[2]
        if ZtWXy.shape[0] != nl or ZtWXy.shape[1] != z.size or nl < 1 or z.size < 1 or self.width < 1:
            raise ValueError("ZtWXy must be (nl, nc, p+1)")
        self.it.ZtWXy = &ZtWXy[0, 0, 0]
        if ZtWZ is None:
            return
        if ZtWZ.shape[0] != nl or ZtWZ.shape[1] != z.size or ZtWZ.shape[2] != z.size:
            raise ValueError("ZtWZ must be (nl, nc, nc)")
        self.it.ZtWZ = &ZtWZ[0, 0, 0]


def crossprod_rows(
    Columns x,                        # IN      p columns
    const double[::1] y,              # IN      (n,)
    const double[::1] offset,         # IN      (n,) or None
    const double[::1] beta0,          # IN      (p,) or None
    const double[::1] w,              # IN      (n,) or None
    list groups,                      # IN/OUT  of Grouping
    double[:, ::1] XyWXy,             # IN/OUT  (p+1, p+1) or None
):
    """Add [X r]'W[X r], r = y - offset - X beta0, and the blocks of every grouping factor, in one sweep."""
    cdef int status
    cdef Py_ssize_t n = y.shape[0], k, nf = len(groups)
    cdef flmm.flmm_response response
    cdef flmm.flmm_grouping *group
    cdef double *sums = NULL
    check_rows(n, x, "X")
    if offset is not None and offset.shape[0] != n:
        raise ValueError(f"the offset has {offset.shape[0]} rows, expected {n}")
    if beta0 is not None and beta0.shape[0] != x.size:
        raise ValueError(f"beta0 has {beta0.shape[0]} elements, X {x.size} columns")
    for one in groups:
        if (<Grouping?>one).n != n:
            raise ValueError(f"level codes have {one.n} rows, expected {n}")
        if one.width not in (-1, x.size + 1):
            raise ValueError("ZtWXy must be (nl, nc, p+1)")
    if XyWXy is not None:
        if XyWXy.shape[0] != x.size + 1 or XyWXy.shape[1] != x.size + 1:
            raise ValueError(f"XyWXy must be {x.size + 1} x {x.size + 1}")
        sums = &XyWXy[0, 0]
    cdef const double *wp = weights_or_null(w, n)
    if n == 0:
        return
    response.values = &y[0]
    response.offset = response.beta0 = NULL
    if offset is not None:
        response.offset = &offset[0]
    if beta0 is not None and x.size:
        response.beta0 = &beta0[0]
    group = <flmm.flmm_grouping *>calloc(max(nf, 1), sizeof(flmm.flmm_grouping))
    if group == NULL:
        raise MemoryError()
    for k in range(nf):
        group[k] = (<Grouping>groups[k]).it
    with nogil:
        status = flmm.flmm_crossprod_rows(&BLAS, n, x.size, x.ptr, &response, wp, <int32_t>nf, group, sums)
    free(group)
    check(status)


ctypedef fused whole_number:
    int32_t
    int64_t


def look_up_integers(
    const whole_number[::1] values,   # IN      (n,)
    int64_t low,                      # IN      the integer of table[0]
    const int32_t[::1] table,         # IN      (k,), -1 where there is no code
    int32_t[::1] codes,               # OUT     (n,)
):
    """Codes of integers by a table over their range, -1 for those outside; True if every one has a code."""
    cdef int status
    cdef Py_ssize_t n = values.shape[0]
    if codes.shape[0] != n:
        raise ValueError(f"codes have {codes.shape[0]} rows, expected {n}")
    if n == 0:
        return True
    cdef const int32_t *first = &table[0] if table.shape[0] else NULL
    with nogil:
        if whole_number is int32_t:
            status = flmm.flmm_look_up_int32(n, &values[0], low, table.shape[0], first, &codes[0])
        else:
            status = flmm.flmm_look_up_int64(n, &values[0], low, table.shape[0], first, &codes[0])
    return status == flmm.FLMM_OK


def number_integers(
    const whole_number[::1] values,   # IN      (n,)
    int64_t low,                      # IN      the integer of table[0]
    int32_t[::1] table,               # IN/OUT  (k,), -1 where there is no code
    int32_t count,                    # IN      codes given so far
    int32_t[::1] codes,               # OUT     (n,)
):
    """The same, and integers without a code get the next ones, in the order of their rows.

    Returns
    -------
    ndarray of int64
        The integers that were new, by their codes; None, with nothing numbered, if some lie outside the table.
    """
    cdef int status
    cdef Py_ssize_t n = values.shape[0]
    cdef int32_t after = count
    if codes.shape[0] != n:
        raise ValueError(f"codes have {codes.shape[0]} rows, expected {n}")
    if n == 0 or table.shape[0] == 0:
        return np.empty(0, dtype=np.int64) if n == 0 else None
    cdef int64_t[::1] fresh = np.empty(n, dtype=np.int64)
    with nogil:
        if whole_number is int32_t:
            status = flmm.flmm_number_int32(n, &values[0], low, table.shape[0], &table[0], &after, &fresh[0], &codes[0])
        else:
            status = flmm.flmm_number_int64(n, &values[0], low, table.shape[0], &table[0], &after, &fresh[0], &codes[0])
    return np.array(fresh[: after - count]) if status == flmm.FLMM_OK else None


cdef class Keys:
    """Numbers 0, 1, ... for 64-bit integers, in the order in which they come.

    Attributes
    ----------
    count : int
        Different ones so far.
    """

    cdef readonly int32_t count
    cdef object slots, known

    def __cinit__(self):
        self.count = 0
        self.slots, self.known = np.full(1024, -1, dtype=np.int32), np.empty(512, dtype=np.int64)

    def __reduce__(self):
        return keys_of, (self.values(),)

    def values(self):
        """The keys by their numbers, ndarray of int64."""
        return self.known[: self.count].copy()

    def number(self, const int64_t[::1] keys):
        """The number of each key, ndarray of int32."""
        cdef Py_ssize_t n = keys.shape[0], done = 0
        codes = np.empty(n, dtype=np.int32)
        cdef int32_t[::1] code = codes, slots
        cdef int64_t[::1] known
        while done < n:
            slots, known = self.slots, self.known
            with nogil:
                done += flmm.flmm_number_keys(n - done, &keys[done], slots.shape[0], &slots[0], &known[0], &self.count, &code[done])
            if done < n:
                self.grow()
        return codes

    cdef grow(self):
        cdef Py_ssize_t capacity = 4 * len(self.slots)
        if self.count >= 2**30:
            raise OverflowError("more than 1,073,741,824 different keys cannot be numbered")
        known = np.empty(capacity // 2, dtype=np.int64)
        known[: self.count] = self.known[: self.count]
        self.slots, self.known = np.empty(capacity, dtype=np.int32), known
        cdef int32_t[::1] slots = self.slots
        cdef int64_t[::1] view = known
        with nogil:
            flmm.flmm_place_keys(self.count, &view[0], capacity, &slots[0])


def keys_of(values):
    """`Keys` that have numbered these already."""
    made = Keys()
    made.number(values)
    return made


def follow_nesting(const int32_t[::1] level_f, const int32_t[::1] level_g, int32_t[::1] parent):
    """Note in parent (nl_f,) the level of g that each level of f lies in; False if one lies in two of them.

    Levels of f that had no parent may have one afterwards in either case.
    """
    cdef int status
    cdef Py_ssize_t n = level_f.shape[0]
    if level_g.shape[0] != n:
        raise ValueError(f"level codes of the two factors have {n} and {level_g.shape[0]} rows")
    if n == 0:
        return True
    if parent.shape[0] == 0:
        raise ValueError("a level code lies outside 0 .. nl-1")
    with nogil:
        status = flmm.flmm_pairs_follow(n, <int32_t>parent.shape[0], &level_f[0], &level_g[0], &parent[0])
    if status == flmm.FLMM_NOT_NESTED:
        return False
    check(status)
    return True


def add_fixed(
    Columns x,                        # IN      p columns
    const double[::1] beta,           # IN      (p,)
    double[::1] out,                  # IN/OUT  (n,)
):
    """Add X beta to out; a missing value makes its row missing."""
    cdef int status
    cdef Py_ssize_t n = out.shape[0]
    check_rows(n, x, "X")
    if beta.shape[0] != x.size:
        raise ValueError(f"beta has {beta.shape[0]} elements, X {x.size} columns")
    if n == 0 or x.size == 0:
        return
    with nogil:
        status = flmm.flmm_add_fixed(n, x.size, x.ptr, &beta[0], &out[0])
    check(status)


def add_effects(
    const int32_t[::1] level,         # IN      (n,), -1 for a level whose effects are zero
    Columns z,                        # IN      nc columns
    const double[:, ::1] b,           # IN      (nl, nc)
    double[::1] out,                  # IN/OUT  (n,)
):
    """Add Z b of one grouping factor to out."""
    cdef int status
    cdef Py_ssize_t n = out.shape[0]
    cdef int nl = <int>b.shape[0]
    check_rows(n, z, "Z")
    if level.shape[0] != n:
        raise ValueError(f"level codes have {level.shape[0]} rows, expected {n}")
    if b.shape[1] != z.size:
        raise ValueError(f"b has {b.shape[1]} columns, Z {z.size}")
    if n == 0 or z.size == 0 or nl == 0:
        return
    with nogil:
        status = flmm.flmm_add_effects(n, z.size, nl, &level[0], z.ptr, &b[0, 0], &out[0])
    check(status)


def nested_pairs(const int32_t[::1] level_f, int nl_f, const int32_t[::1] level_g, int nl_g):
    """Which level of g each level of f lies in, without sorting; None if some lies in several.

    Returns
    -------
    indptr : (nl_f + 1,) int64
        0 or 1 pair per level of f.
    indices : (pairs,) int32
    """
    cdef Py_ssize_t n = level_f.shape[0]
    cdef int status
    if level_g.shape[0] != n:
        raise ValueError(f"level codes of the two factors have {n} and {level_g.shape[0]} rows")
    if n == 0:
        return None
    parent = np.empty(nl_f, dtype=np.int32)
    cdef int32_t[::1] parent_view = parent
    with nogil:
        status = flmm.flmm_pairs_nested(n, nl_f, &level_f[0], nl_g, &level_g[0], &parent_view[0])
    if status == flmm.FLMM_NOT_NESTED:
        return None
    check(status)
    occurs = parent >= 0
    indptr = np.zeros(nl_f + 1, dtype=np.int64)
    np.cumsum(occurs, out=indptr[1:])
    return indptr, parent if occurs.all() else parent[occurs]


def add_nested_pairs(
    const int32_t[::1] level_f,       # IN      (n,)
    Columns z_f,                      # IN      nc_f columns
    Columns z_g,                      # IN      nc_g columns
    const double[::1] w,              # IN      (n,) or None
    const int64_t[::1] indptr,        # IN      from `nested_pairs`
    double[:, :, ::1] values,         # IN/OUT  (pairs, nc_f, nc_g)
):
    """Add the blocks Z_f'WZ_g of nested factors."""
    cdef Py_ssize_t n = level_f.shape[0]
    cdef int status
    check_rows(n, z_f, "Z of the first factor")
    check_rows(n, z_g, "Z of the second factor")
    cdef const double *wp = weights_or_null(w, n)
    if values.shape[0] != indptr[indptr.shape[0] - 1] or values.shape[1] != z_f.size or values.shape[2] != z_g.size:
        raise ValueError("the blocks must be (pairs, nc_f, nc_g)")
    if n == 0:
        return
    with nogil:
        status = flmm.flmm_pairs_nested_fill(n, z_f.size, &level_f[0], z_f.ptr, z_g.size, z_g.ptr, wp,
                                             &indptr[0], &values[0, 0, 0])
    check(status)


def take_columns(const double[:, :, ::1] blocks, const int32_t[::1] at):
    """blocks[:, :, at] of an array (nl, nc, width), contiguous."""
    cdef Py_ssize_t nl = blocks.shape[0], nc = blocks.shape[1], width = blocks.shape[2], count = at.shape[0], k
    for k in range(count):
        if at[k] < 0 or at[k] >= width:
            raise ValueError(f"blocks of {width} columns have no column {at[k]}")
    out = np.empty((nl, nc, count))
    cdef double[:, :, ::1] view = out
    if nl and nc and count:
        with nogil:
            flmm.flmm_take_columns(nl * nc, <int32_t>width, &blocks[0, 0, 0], <int32_t>count, &at[0], &view[0, 0, 0])
    return out


def all_finite(const double[::1] values):
    """Whether no value of a column is infinite or missing."""
    cdef Py_ssize_t n = values.shape[0]
    cdef int answer = 1
    if n:
        with nogil:
            answer = flmm.flmm_all_finite(n, &values[0])
    return answer != 0


def column_moments(const double[::1] values):
    """Minimum, maximum, mean and standard deviation (divisor n) of a column, in one pass."""
    cdef double out[4]
    cdef Py_ssize_t n = values.shape[0]
    if n == 0:
        raise ValueError("a column without rows has no moments")
    with nogil:
        flmm.flmm_column_moments(n, &values[0], out)
    return out[0], out[1], out[2], out[3]


def crossprod_pairs(
    const int32_t[::1] level_f,       # IN  (n,)
    int nl_f,
    Columns z_f,                      # IN  nc_f columns
    const int32_t[::1] level_g,       # IN  (n,)
    int nl_g,
    Columns z_g,                      # IN  nc_g columns
    const double[::1] w,              # IN  (n,) or None
):
    """The blocks Z_f'WZ_g over the pairs of levels that meet in some row.

    Returns
    -------
    indptr : (nl_f + 1,) int64
    indices : (pairs,) int32
        Levels of g that meet each level of f, increasing.
    values : (pairs, nc_f, nc_g) float64
    """
    cdef int status
    cdef Py_ssize_t n = level_f.shape[0]
    if level_g.shape[0] != n:
        raise ValueError(f"level codes of the two factors have {n} and {level_g.shape[0]} rows")
    check_rows(n, z_f, "Z of the first factor")
    check_rows(n, z_g, "Z of the second factor")
    cdef const double *wp = weights_or_null(w, n)
    nested = nested_pairs(level_f, nl_f, level_g, nl_g)
    if nested is not None:
        blocks = np.zeros((len(nested[1]), z_f.size, z_g.size))
        add_nested_pairs(level_f, z_f, z_g, w, nested[0], blocks)
        return *nested, blocks
    cdef int64_t[::1] start = np.zeros(nl_f + 1, dtype=np.int64)
    cdef int64_t[::1] order = np.empty(max(n, 1), dtype=np.int64)
    cdef int64_t[::1] marker = np.empty(nl_g, dtype=np.int64)
    indptr = np.zeros(nl_f + 1, dtype=np.int64)
    cdef int64_t[::1] indptr_view = indptr
    cdef const int32_t *fp = &level_f[0] if n else NULL
    cdef const int32_t *gp = &level_g[0] if n else NULL
    with nogil:
        status = flmm.flmm_rows_by_level(n, nl_f, fp, &start[0], &order[0])
        if status == flmm.FLMM_OK:
            status = flmm.flmm_pairs_count(nl_f, &start[0], &order[0], nl_g, gp, &marker[0], &indptr_view[0])
    check(status)
    pairs = int(indptr[nl_f])
    indices = np.empty(max(pairs, 1), dtype=np.int32)
    values = np.empty((max(pairs, 1), z_f.size, z_g.size))
    cdef int32_t[::1] indices_view = indices
    cdef double[:, :, ::1] values_view = values
    with nogil:
        status = flmm.flmm_pairs_fill(z_f.size, nl_f, &start[0], &order[0], z_f.ptr, z_g.size, nl_g, gp, z_g.ptr,
                                      wp, &marker[0], &indptr_view[0], &indices_view[0], &values_view[0, 0, 0])
    check(status)
    return indptr, indices[:pairs], values[:pairs]


def crossprod_responses(
    const int32_t[::1] level,         # IN  (n,) or None: all rows have one level
    int nl,
    Columns z,                        # IN  nc columns
    const double[:, ::1] r,           # IN  (responses, n)
    const double[::1] w,              # IN  (n,) or None
):
    """Z_l'W r for several responses r, (responses, nl * nc)."""
    cdef int status
    cdef Py_ssize_t count = r.shape[0], n = r.shape[1]
    check_rows(n, z, "Z")
    if level is not None and level.shape[0] != n:
        raise ValueError(f"level codes have {level.shape[0]} rows, expected {n}")
    if level is None and nl != 1:
        raise ValueError("without level codes there is one level")
    cdef const double *wp = weights_or_null(w, n)
    out = np.zeros((count, nl * z.size))
    if n == 0 or count == 0 or z.size == 0:
        return out
    cdef double[:, ::1] view = out
    cdef const int32_t *lp = &level[0] if level is not None else NULL
    with nogil:
        status = flmm.flmm_crossprod_responses(n, z.size, nl, lp, z.ptr, count, &r[0, 0], wp, &view[0, 0])
    check(status)
    return out
