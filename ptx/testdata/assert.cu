#include <assert.h>
extern "C" __global__ void k(const int*x,int n){ int i=threadIdx.x; assert(i<n); if(x[i]==7) __trap(); }
