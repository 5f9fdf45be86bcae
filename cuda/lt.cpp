/* cuBLASLt behind dlopen, and the cache of plans (see lt.h). */
#include "lt.h"

#include <dlfcn.h>
#include <initializer_list>
#include <pthread.h>

/* ---- the library ---- */

#define QL_LT_FUNCTIONS(X)                                                                                             \
    X(cublasLtCreate)                                                                                                  \
    X(cublasLtDestroy)                                                                                                 \
    X(cublasLtGetStatusString)                                                                                         \
    X(cublasLtMatmul)                                                                                                  \
    X(cublasLtMatmulAlgoGetHeuristic)                                                                                  \
    X(cublasLtMatmulDescCreate)                                                                                        \
    X(cublasLtMatmulDescDestroy)                                                                                       \
    X(cublasLtMatmulDescSetAttribute)                                                                                  \
    X(cublasLtMatmulPreferenceCreate)                                                                                  \
    X(cublasLtMatmulPreferenceDestroy)                                                                                 \
    X(cublasLtMatmulPreferenceSetAttribute)                                                                            \
    X(cublasLtMatrixLayoutCreate)                                                                                      \
    X(cublasLtMatrixLayoutDestroy)                                                                                     \
    X(cublasLtMatrixLayoutSetAttribute)

static struct {
#define QL_LT_FIELD(name) decltype(&::name) name;
    QL_LT_FUNCTIONS(QL_LT_FIELD)
#undef QL_LT_FIELD
    char error[256];
    bool loaded;
} api;

static pthread_once_t once = PTHREAD_ONCE_INIT;

#define QL_TEXT(x) #x
#define QL_TEXT_OF(x) QL_TEXT(x)
#define QL_LT_FILE "libcublasLt.so." QL_TEXT_OF(CUBLAS_VER_MAJOR)

static bool find(void *library, const char *name, void **function)
{
    *function = dlsym(library, name);
    if (*function == nullptr) (void)snprintf(api.error, sizeof api.error, QL_LT_FILE " has no function %s", name);
    return *function != nullptr;
}

static void load()
{
    void *library = dlopen(QL_LT_FILE, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) library = dlopen("/usr/local/cuda/lib64/" QL_LT_FILE, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        (void)snprintf(api.error, sizeof api.error,
                       QL_LT_FILE
                       " not found by the loader nor in /usr/local/cuda/lib64; install cuBLAS %d or name its "
                       "folder in LD_LIBRARY_PATH",
                       CUBLAS_VER_MAJOR);
        return;
    }
    void *function = nullptr;
    bool complete = true;
#define QL_LT_FIND(name)                                                                                               \
    complete = complete && find(library, #name, &function);                                                            \
    memcpy(&api.name, &function, sizeof function);
    QL_LT_FUNCTIONS(QL_LT_FIND)
#undef QL_LT_FIND
    api.loaded = complete;
}

ql_status ql_lt_load(void)
{
    (void)pthread_once(&once, load);
    return api.loaded ? QL_OK : QL_FAIL(ENVIRONMENT, "%s", api.error);
}

static ql_status judge(cublasStatus_t result, const char *call, int line)
{
    if (result == CUBLAS_STATUS_SUCCESS) return QL_OK;
    return ql_error_set(result == CUBLAS_STATUS_ALLOC_FAILED ? QL_STATUS_NO_MEMORY : QL_STATUS_ENVIRONMENT, __FILE__,
                        line, "cuBLASLt: %s: %s", call, api.cublasLtGetStatusString(result));
}

#define LT_TRY(call) QL_TRY(judge(api.call, #call, __LINE__))

ql_status ql_lt_open(ql_lt *lt)
{
    memset(lt, 0, sizeof *lt);
    QL_TRY(ql_lt_load());
    lt->plans = static_cast<ql_lt_plan *>(ql_memory_take(QL_LT_PLANS, sizeof(ql_lt_plan)));
    if (lt->plans == nullptr) return QL_FAIL(NO_MEMORY, "no memory for the plans of products");
    LT_TRY(cublasLtCreate(&lt->handle));
    return QL_OK;
}

void ql_lt_close(ql_lt *lt)
{
    for (int p = 0; p < lt->count; ++p) {
        for (cublasLtMatrixLayout_t *layout : {&lt->plans[p].a, &lt->plans[p].b, &lt->plans[p].c, &lt->plans[p].d})
            if (*layout != nullptr) (void)api.cublasLtMatrixLayoutDestroy(*layout);
        if (lt->plans[p].operation != nullptr) (void)api.cublasLtMatmulDescDestroy(lt->plans[p].operation);
    }
    if (lt->handle != nullptr) (void)api.cublasLtDestroy(lt->handle);
    ql_free(lt->plans);
    memset(lt, 0, sizeof *lt);
}

/* ---- plans ---- */

enum { EPILOGUE_NONE, EPILOGUE_BIAS, EPILOGUE_RELU, EPILOGUE_RELU_BIAS };

static ql_lt_key key_of(const ql_gemm &g)
{
    ql_lt_key key;
    memset(&key, 0, sizeof key);
    key.product = g.product;
    key.m = g.m;
    key.n = g.n;
    key.k = g.k;
    key.lda = g.a.ld;
    key.ldb = g.b.ld;
    key.ldc = g.ldc;
    key.accumulates = g.addend != nullptr;
    key.addend_ld = g.addend != nullptr && g.addend_ld > 0 ? g.addend_ld : g.ldc;
    key.batch = g.batch;
    key.kind = g.a.kind;
    key.epilogue = (g.bias != nullptr ? EPILOGUE_BIAS : 0) | (g.relu ? EPILOGUE_RELU : 0);
    key.stride_a = g.batch > 1 ? g.stride_a : 0;
    key.stride_b = g.batch > 1 ? g.stride_b : 0;
    key.stride_c = g.batch > 1 ? g.stride_c : 0;
    return key;
}

static ql_status make_layout(cublasLtMatrixLayout_t *layout, const ql_lt_key &key, cudaDataType_t type, int rows,
                             int columns, int ld, int64_t stride)
{
    LT_TRY(cublasLtMatrixLayoutCreate(layout, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), ld));
    if (key.batch == 1) return QL_OK;
    LT_TRY(cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &key.batch, sizeof key.batch));
    LT_TRY(
        cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
    return QL_OK;
}

/* The library counts by columns: our row-major C = A op B is its C^T = B^T op A^T, so our B is its A. */
static ql_status describe(ql_lt_plan *plan)
{
    const ql_lt_key &key = plan->key;
    const cudaDataType_t type = key.kind == QL_OPERAND_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    const cublasComputeType_t compute = key.kind == QL_OPERAND_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const cublasOperation_t none = CUBLAS_OP_N, transposed = CUBLAS_OP_T;
    const bool nt = key.product == QL_PRODUCT_NT, tn = key.product == QL_PRODUCT_TN;
    static const cublasLtEpilogue_t epilogues[] = {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS,
                                                   CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_RELU_BIAS};
    LT_TRY(cublasLtMatmulDescCreate(&plan->operation, compute, CUDA_R_32F));
    LT_TRY(cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_TRANSA, nt ? &transposed : &none,
                                          sizeof none));
    LT_TRY(cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_TRANSB, tn ? &transposed : &none,
                                          sizeof none));
    LT_TRY(cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogues[key.epilogue],
                                          sizeof epilogues[0]));
    QL_TRY(make_layout(&plan->a, key, type, nt ? key.k : key.n, nt ? key.n : key.k, key.ldb, key.stride_b));
    QL_TRY(make_layout(&plan->b, key, type, tn ? key.m : key.k, tn ? key.k : key.m, key.lda, key.stride_a));
    QL_TRY(make_layout(&plan->c, key, CUDA_R_32F, key.n, key.m, key.addend_ld, key.stride_c));
    return make_layout(&plan->d, key, CUDA_R_32F, key.n, key.m, key.ldc, key.stride_c);
}

/* The heuristic's first choice: the same for the same shape on the same GPU, so results repeat bit by bit. */
static ql_status choose(ql_lt *lt, ql_lt_plan *plan, cublasLtMatmulPreference_t preference)
{
    const size_t workspace = QL_LT_WORKSPACE;
    const uint32_t alignment = 16, reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    LT_TRY(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                sizeof workspace));
    LT_TRY(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction,
                                                sizeof reduction));
    for (cublasLtMatmulPreferenceAttributes_t attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
        LT_TRY(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &alignment, sizeof alignment));
    cublasLtMatmulHeuristicResult_t found;
    memset(&found, 0, sizeof found);
    int count = 0;
    cublasStatus_t result = api.cublasLtMatmulAlgoGetHeuristic(lt->handle, plan->operation, plan->a, plan->b, plan->c,
                                                               plan->d, preference, 1, &found, &count);
    plan->usable = result == CUBLAS_STATUS_SUCCESS && count > 0 && found.state == CUBLAS_STATUS_SUCCESS;
    plan->algorithm = found.algo;
    return QL_OK;
}

/* bias: what the heuristic may look at. */
static ql_status find_plan(ql_lt *lt, const ql_lt_key &key, const float *bias, ql_lt_plan **found)
{
    for (int p = 0; p < lt->count; ++p)
        if (memcmp(&lt->plans[p].key, &key, sizeof key) == 0) {
            *found = &lt->plans[p];
            return QL_OK;
        }
    if (lt->count == QL_LT_PLANS) return QL_FAIL(INTERNAL, "more than %d shapes of products", QL_LT_PLANS);
    ql_lt_plan *plan = &lt->plans[lt->count++];
    plan->key = key;
    QL_TRY(describe(plan));
    if (bias != nullptr)
        LT_TRY(cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
    cublasLtMatmulPreference_t preference = nullptr;
    LT_TRY(cublasLtMatmulPreferenceCreate(&preference));
    ql_status status = choose(lt, plan, preference);
    (void)api.cublasLtMatmulPreferenceDestroy(preference);
    *found = plan;
    return status;
}

ql_status ql_lt_multiply(ql_lt *lt, const ql_gemm &g, cudaStream_t stream, bool *done)
{
    ql_lt_plan *plan = nullptr;
    QL_TRY(find_plan(lt, key_of(g), g.bias, &plan));
    *done = plan->usable;
    if (!plan->usable) return QL_OK;
    const float one = 1, beta = plan->key.accumulates ? 1.0f : 0.0f;
    const float *addend = g.addend != nullptr ? g.addend : g.c;
    if (g.bias != nullptr)
        LT_TRY(
            cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &g.bias, sizeof g.bias));
    const cublasStatus_t result =
        api.cublasLtMatmul(lt->handle, plan->operation, &one, g.b.data, plan->a, g.a.data, plan->b, &beta, addend,
                           plan->c, g.c, plan->d, &plan->algorithm, lt->workspace, QL_LT_WORKSPACE, stream);
    /* What the heuristic promised and the call refuses: as if it had no algorithm. Nothing was launched. */
    if (result == CUBLAS_STATUS_NOT_SUPPORTED || result == CUBLAS_STATUS_INVALID_VALUE) {
        plan->usable = *done = false;
        return QL_OK;
    }
    return judge(result, "cublasLtMatmul", __LINE__);
}
