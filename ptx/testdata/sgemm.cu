extern "C" __global__ void __launch_bounds__(256) sgemm(const float*__restrict__ A,const float*__restrict__ B,float*__restrict__ C,long long M,long long N,long long K){
 __shared__ float As[2][8][128+4]; __shared__ float Bs[2][8][128];
 int t=threadIdx.x; int bm=blockIdx.y*128,bn=blockIdx.x*128;
 float acc[8][8]; for(int i=0;i<8;i++)for(int j=0;j<8;j++)acc[i][j]=0;
 int ar=t>>1, ac=(t&1)*4; int br=t>>5, bc=(t&31)*4;
 int tx=t&15, ty=t>>4;
 const float*Ap=A+(bm+ar)*K+ac; const float*Bp=B+(long long)br*N+bn+bc;
 int buf=0;
 float4 a=*(const float4*)Ap, b=*(const float4*)Bp;
 As[0][ac][ar]=a.x;As[0][ac+1][ar]=a.y;As[0][ac+2][ar]=a.z;As[0][ac+3][ar]=a.w;*(float4*)&Bs[0][br][bc]=b;
 __syncthreads();
 for(int k=0;k<K;k+=8){
  if(k+8<K){a=*(const float4*)(Ap+k+8);b=*(const float4*)(Bp+(long long)(k+8)*N);}
  #pragma unroll
  for(int kk=0;kk<8;kk++){ float ra[8],rb[8];
   *(float4*)ra=*(float4*)&As[buf][kk][ty*4]; *(float4*)(ra+4)=*(float4*)&As[buf][kk][64+ty*4];
   *(float4*)rb=*(float4*)&Bs[buf][kk][tx*4]; *(float4*)(rb+4)=*(float4*)&Bs[buf][kk][64+tx*4];
   #pragma unroll
   for(int i=0;i<8;i++)
   #pragma unroll
   for(int j=0;j<8;j++)acc[i][j]+=ra[i]*rb[j]; }
  if(k+8<K){buf^=1; As[buf][ac][ar]=a.x;As[buf][ac+1][ar]=a.y;As[buf][ac+2][ar]=a.z;As[buf][ac+3][ar]=a.w;*(float4*)&Bs[buf][br][bc]=b; __syncthreads();}
 }
 for(int i=0;i<8;i++){int r=bm+(i>>2)*64+ty*4+(i&3); for(int h=0;h<2;h++){float4 v=make_float4(acc[i][h*4],acc[i][h*4+1],acc[i][h*4+2],acc[i][h*4+3]); *(float4*)&C[r*N+bn+h*64+tx*4]=v;}}
}
