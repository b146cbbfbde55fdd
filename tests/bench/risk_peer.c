/* The peers in C: the same fused statistics, once as plain loops for the compiler to vectorise, once by hand.
 * Rows as in keeper.risk.fused.Sides; prices are [feeds][scenarios], scenarios a multiple of 32. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define HAND 1
#define LANES 8
typedef __m512d vec;
typedef __mmask8 msk;
#define V_SET(x) _mm512_set1_pd(x)
#define V_LOAD(p) _mm512_loadu_pd(p)
#define V_STORE(p, v) _mm512_storeu_pd(p, v)
#define V_FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#define V_MUL(a, b) _mm512_mul_pd(a, b)
#define V_DIV(a, b) _mm512_div_pd(a, b)
#define V_ADD(a, b) _mm512_add_pd(a, b)
#define V_MIN(a, b) _mm512_min_pd(a, b)
#define V_LT(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define M_BITS(m) ((unsigned)(m))
#define V_WHERE(m, v) _mm512_maskz_mov_pd(m, v)
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define HAND 1
#define LANES 4
typedef __m256d vec;
typedef __m256d msk;
#define V_SET(x) _mm256_set1_pd(x)
#define V_LOAD(p) _mm256_loadu_pd(p)
#define V_STORE(p, v) _mm256_storeu_pd(p, v)
#define V_FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#define V_MUL(a, b) _mm256_mul_pd(a, b)
#define V_DIV(a, b) _mm256_div_pd(a, b)
#define V_ADD(a, b) _mm256_add_pd(a, b)
#define V_MIN(a, b) _mm256_min_pd(a, b)
#define V_LT(a, b) _mm256_cmp_pd(a, b, _CMP_LT_OQ)
#define M_BITS(m) ((unsigned)_mm256_movemask_pd(m))
#define V_WHERE(m, v) _mm256_and_pd(m, v)
#else
#define HAND 0
#endif

#define T 64 /* scenarios per tile of the plain version */

int lanes(void) {
#if HAND
  return LANES;
#else
  return 0;
#endif
}

void fused_plain(long users, long n, const int64_t *start, const int64_t *middle, const int32_t *feed,
                 const double *weight, const double *prices, double *low, int64_t *first, double *hits,
                 double *notional) {
  for (long u0 = 0; u0 < users; u0 += 256) {
    long u1 = u0 + 256 < users ? u0 + 256 : users;
    for (long u = u0; u < u1; u++) low[u] = 1e300, first[u] = -1;
    for (long s0 = 0; s0 < n; s0 += T) {
      long width = n - s0 < T ? n - s0 : T;
      for (long u = u0; u < u1; u++) {
        double c[T], d[T];
        for (long i = 0; i < width; i++) c[i] = d[i] = 0.0;
        for (int64_t j = start[u]; j < middle[u]; j++) {
          const double *p = prices + (long)feed[j] * n + s0;
          double w = weight[j];
          for (long i = 0; i < width; i++) c[i] += w * p[i];
        }
        for (int64_t j = middle[u]; j < start[u + 1]; j++) {
          const double *p = prices + (long)feed[j] * n + s0;
          double w = weight[j];
          for (long i = 0; i < width; i++) d[i] += w * p[i];
        }
        double m = 1e300;
        for (long i = 0; i < width; i++) {
          double h = c[i] / d[i];
          m = h < m ? h : m;
        }
        if (m < low[u]) low[u] = m;
        if (m < 1.0) {
          if (first[u] < 0)
            for (long i = 0; i < width; i++)
              if (c[i] < d[i]) {
                first[u] = s0 + i;
                break;
              }
          double *q = hits + s0, *z = notional + s0;
          for (long i = 0; i < width; i++) {
            int l = c[i] < d[i];
            q[i] += l;
            z[i] += l ? d[i] : 0.0;
          }
        }
      }
    }
  }
}

#if HAND
#define EACH(F) F(0) F(1) F(2) F(3)
#define SUM(k) x##k = V_FMA(w, V_LOAD(p + k * LANES), x##k);
static double least(vec v) {
  double a[LANES], m;
  V_STORE(a, v);
  m = a[0];
  for (int i = 1; i < LANES; i++) m = a[i] < m ? a[i] : m;
  return m;
}

void fused_hand(long users, long n, const int64_t *start, const int64_t *middle, const int32_t *feed,
                const double *weight, const double *prices, double *low, int64_t *first, double *hits,
                double *notional) {
  const vec one = V_SET(1.0);
  const long tile = 512 < n ? 512 : n;
  for (long u0 = 0; u0 < users; u0 += 512) {
    long u1 = u0 + 512 < users ? u0 + 512 : users;
    for (long u = u0; u < u1; u++) low[u] = 1e300, first[u] = -1;
    for (long t0 = 0; t0 < n; t0 += tile) {
      long t1 = t0 + tile < n ? t0 + tile : n;
      for (long u = u0; u < u1; u++) {
        double m = low[u];
        vec edge = V_SET(m);
        int64_t b = start[u], k = middle[u], e = start[u + 1];
        for (long s = t0; s < t1; s += 4 * LANES) {
          const double *p = prices + (long)feed[b] * n + s;
          vec w = V_SET(weight[b]);
#define FIRST(k) vec c##k = V_MUL(w, V_LOAD(p + k * LANES));
          EACH(FIRST)
          for (int64_t j = b + 1; j < k; j++) {
            p = prices + (long)feed[j] * n + s;
            w = V_SET(weight[j]);
#define MORE(k) c##k = V_FMA(w, V_LOAD(p + k * LANES), c##k);
            EACH(MORE)
          }
          p = prices + (long)feed[k] * n + s;
          w = V_SET(weight[k]);
#define OWE(k) vec d##k = V_MUL(w, V_LOAD(p + k * LANES));
          EACH(OWE)
          for (int64_t j = k + 1; j < e; j++) {
            p = prices + (long)feed[j] * n + s;
            w = V_SET(weight[j]);
#define OWES(k) d##k = V_FMA(w, V_LOAD(p + k * LANES), d##k);
            EACH(OWES)
          }
          unsigned lower = M_BITS(V_LT(c0, V_MUL(edge, d0))) | M_BITS(V_LT(c1, V_MUL(edge, d1))) |
                           M_BITS(V_LT(c2, V_MUL(edge, d2))) | M_BITS(V_LT(c3, V_MUL(edge, d3)));
          if (lower) {
            vec h = V_MIN(V_MIN(V_DIV(c0, d0), V_DIV(c1, d1)), V_MIN(V_DIV(c2, d2), V_DIV(c3, d3)));
            double here = least(h);
            m = here < m ? here : m;
            edge = V_SET(m);
          }
          if (m < 1.0) {
            msk m0 = V_LT(c0, d0), m1 = V_LT(c1, d1), m2 = V_LT(c2, d2), m3 = V_LT(c3, d3);
            unsigned bits = M_BITS(m0) | M_BITS(m1) << LANES | M_BITS(m2) << (2 * LANES) | M_BITS(m3) << (3 * LANES);
            if (bits) {
              if (first[u] < 0) first[u] = s + __builtin_ctz(bits);
              double *q = hits + s, *z = notional + s;
#define COUNT(k)                                                                              \
  V_STORE(q + k * LANES, V_ADD(V_LOAD(q + k * LANES), V_WHERE(m##k, one)));                   \
  V_STORE(z + k * LANES, V_ADD(V_LOAD(z + k * LANES), V_WHERE(m##k, d##k)));
              EACH(COUNT)
            }
          }
        }
        low[u] = m;
      }
    }
  }
}
#endif
